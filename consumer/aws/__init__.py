"""The consumer's side of AWS: S3, SQS, SNS and ECS."""
