"""What a simulation leaves behind: `result.json` for programs, `report.html` for people, a table on the terminal."""
