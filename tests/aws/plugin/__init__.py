"""A stand-in for pulumi-aws's plugin, for tests: it makes what the program declares by boto3, at AWS_ENDPOINT_URL.

One row a resource type of the program (`rows/`); any other is refused. botocore's models validate every request. It is
never used for real AWS: there Pulumi's own plugin is.
"""
