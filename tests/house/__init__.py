"""What holds for the whole project: its secrets, its structure, its documents."""
