"""Providers of ours: `stack`, what a stack has of its own, and a stand-in for Pulumi's docker plugin, for machines that
cannot download it, with only the resource types that we use.

Both keep the provider protocol's promises. The stand-in does what the official plugin does for the inputs that `infra`
gives; for any other type it says so and names the official one. `python -m infra.plugin PACKAGE` is what the engine
starts.
"""
