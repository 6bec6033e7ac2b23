"""Worker processes of this machine: they carry out orders, and one that is lost is replaced."""
