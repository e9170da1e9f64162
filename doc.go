// Package crossaccount gets a vendor's service access to its customers' AWS
// accounts, and shows that the access is right.
//
// # The usual case
//
// Make a [Client] when the service starts. [New] opens no connection.
//
//	client, err := crossaccount.New(&crossaccount.Config{
//		ServiceName:        "Acme Analytics",
//		ServiceAccountID:   "111111111111",
//		TemplateS3Bucket:   "acme-analytics-templates",
//		OngoingPermissions: []crossaccount.Permission{{
//			Sid: "ReadReports", Actions: []string{"s3:GetObject"}, Resources: []string{"arn:aws:s3:::reports-*/*"},
//		}},
//	},
//		crossaccount.WithStorage(storage),       // else integrations are forgotten
//		crossaccount.WithEncryption(encryptor),  // else external IDs cannot be read again
//		crossaccount.WithProbe(probeConfig),     // else verification is uncontrolled
//		crossaccount.WithCanaryRole(canaryARN),
//	)
//
// An onboarding has three calls, and using it has one:
//
//   - [Client.GenerateIntegrationURL] makes the external ID and returns the link
//     with which the customer creates a CloudFormation stack.
//   - [Client.VerifyIntegration], or [Client.Verify] with its report, shows that
//     the role the customer presents can be assumed with the external ID and
//     with nothing else.
//   - [Client.StoreCustomerCredentials] takes the verified role into use.
//   - [Client.AssumeCustomerRole] returns an aws.Config whose credentials renew
//     themselves.
//
// [Client.ServeSetupUI] is the customer's side of the first three as a web page.
// Later, [Client.Check] repeats the verification, [Client.Disconnect] and
// [Client.Revoke] end an integration, and [Client.PrepareTemplateBucket] sets
// up the bucket that templates are published to.
//
// # Errors
//
// Every error is an [*Error] with a stable [Code], a message and a remedy that
// may be shown to customers. Test for codes with errors.Is:
//
//	if errors.Is(err, crossaccount.CodePropagating) { … ask again in a moment … }
//
// AWS needs up to a few minutes before a new role can be assumed. Verification
// waits for a while, [WithPatience], and then returns CodePropagating; calling
// it again continues.
//
// # What verification proves
//
// Assuming a role with the right external ID proves nothing, because AWS ignores
// an external ID that a role does not ask for. Verification therefore shows that
// the role refuses a missing ID, a wrong one of the same shape and the right one
// in the other case. Whether it is the customer's trust policy that refuses, and
// not the vendor's own permissions, is shown by a second identity of the vendor,
// [WithProbe]: it can assume a [WithCanaryRole] without an external ID, and the
// customer's role with it. Without them the report says that the refusals are
// uncontrolled.
//
// # Storage and keys
//
// [CredentialStorage] is written as a law that package store/storetest tests.
// External IDs are sealed by an [Encryptor] and bound to their record. No
// credentials are stored. [NewAESEncryptor] keeps its keys in a file
// ([OpenKeyFile]) or an environment variable ([KeysFromEnvironment]).
//
// Permissions that change for customers are listed under "Permissions" in the
// change log.
package crossaccount
