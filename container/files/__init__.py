"""The workspace as people see it: its folders, files, uploads, archives, and what is found in them."""
