"""What the consumer needs of AWS: S3, SQS, SNS and ECS."""
