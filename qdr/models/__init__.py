"""Networks: the Edge-Friendly Model, its parts, and those it is compared with; and the tasks they are trained for."""

TASKS = ("lowlight", "dehaze", "derain", "denoise")
