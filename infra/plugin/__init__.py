"""A stand-in for Pulumi's docker plugin, for machines that cannot download it: only the resource types that we use.

It keeps the provider protocol's promises and does what the official plugin does for the inputs that `infra` gives; for
any other type it says so and names the official one. `python -m infra.plugin` is what the engine starts.
"""
