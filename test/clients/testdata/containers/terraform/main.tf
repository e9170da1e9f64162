# A program of the vendor reads a customer's object. Where its credentials come
# from is said in the environment.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "endpoint" {
  type = string
}

variable "region" {
  type = string
}

variable "bucket" {
  type = string
}

variable "key" {
  type = string
}

provider "aws" {
  region            = var.region
  s3_use_path_style = true

  endpoints {
    sts = var.endpoint
    s3  = var.endpoint
    iam = var.endpoint
  }
}

data "aws_caller_identity" "session" {}

data "aws_s3_object" "report" {
  bucket = var.bucket
  key    = var.key
}

output "identity" {
  value = data.aws_caller_identity.session.arn
}

output "body" {
  value = data.aws_s3_object.report.body
}
