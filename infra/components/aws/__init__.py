"""The parts of the `aws` target: ECS Fargate behind a load balancer, with DynamoDB and S3."""
