"""Child processes: started, watched, asked, killed and replaced."""
