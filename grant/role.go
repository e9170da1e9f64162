package grant

// iamRole is the kind of IAM roles that a manifest declares for others to
// assume.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/tutorial_cross-account-with-roles.html
func iamRole() *kind {
	return &kind{
		name: "role", title: "IAM role", service: "sts", anyRegion: true,
		page: "https://docs.aws.amazon.com/IAM/latest/UserGuide/tutorial_cross-account-with-roles.html",
		arn: func(i *instance) string {
			return roleARN(i.site, i.decl.Path, i.physical)
		},
		accesses: []access{
			{word: "assume", doc: "assume the role, and so do whatever its permissions allow", rights: []right{{sid: "AssumeRole", actions: []string{"sts:AssumeRole"}}}},
		},
		caveats: []string{
			"While it uses the role, the consumer has the role's permissions and not its own.",
			"A role session that assumes another role lasts one hour at most, whatever max_session says.",
			"Third parties send their external ID, or the role cannot be assumed.",
			"A role that is named as the principal must exist first, and a role that is created anew is another principal to IAM.",
		},
	}
}
