"""The broker: the listener through which sandboxes reach the model's API, and the credentials that stay here."""
