"""Report: tables and figures from results/ alone."""
