package lint

import "github.com/crossaccount/crossaccount/iam"

var structureRules []Rule

func reportProblems(r *reporter, problems []iam.Problem) {}
