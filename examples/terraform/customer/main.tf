# The customer's own configuration: where the vendor's module is used.

variable "external_id" {
  description = "From the vendor. Whoever knows it is not let in by it alone, but nobody else needs it."
  type        = string
  sensitive   = true
}

variable "role_name" {
  description = "From the vendor."
  type        = string
}

variable "setup_phase" {
  description = "false takes the setup permissions away; the others stay."
  type        = string
  default     = "true"
}

provider "aws" {
  region = "us-east-1"
}

module "example" {
  source      = "./example"
  external_id = var.external_id
  role_name   = var.role_name
  setup_phase = var.setup_phase
}

output "role_arn" {
  description = "What the vendor asks for."
  value       = module.example.role_arn
}
