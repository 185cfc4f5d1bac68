"""The deployment: a Pulumi program (`program.py`), and the commands around it (`cli`)."""
