"""The commands around the deployment: what scripts/up, scripts/down and scripts/token run."""
