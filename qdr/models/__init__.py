"""Networks: the Edge-Friendly Model, its parts, and what a model costs."""
