"""Files and folders that are whole and verified, or not there."""
