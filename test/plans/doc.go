// Package plans deploys compiled manifests of every kind of resource into
// accounts that enforce IAM, wave by wave; uses them with AWS's own clients as
// the consumers do; sees their neighbours refused and what "crossaccount probe"
// says; and removes them in reverse, which ends the access and leaves nothing.
//
// HTTP APIs are not here: the sandbox has REST APIs only. What is compiled for
// them is evaluated by package grant.
package plans
