"""The package `vaporforge-stack`: what a stack has besides pulumi-docker's resources, as types of a provider of ours.

Pulumi.yaml names the folder, so that every Pulumi finds `pulumi-resource-vaporforge-stack` in it. A state holds values
of these types and no code: whatever Python runs the next update, it is the code of the clone that does it.
"""
