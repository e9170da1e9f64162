// Package cfnapi is the sandbox's CloudFormation: stacks, change sets, events
// and exports of every account and region, over the query protocol.
//
// A stack operation is a queue of small steps. A step handles one resource and
// takes [Options.Step] on the sandbox's clock; [Service.Advance] runs the steps
// that are due. There are no goroutines and no sleeping, so the same calls give
// the same events in the same order. With a Step of zero an operation is over
// when its request has been answered.
//
// Resources are made by calling the typed methods of the sandbox's other
// services, as the stack's caller (via cloudformation.amazonaws.com) or as the
// stack's service role. Those methods authorise themselves, so a stack can do
// exactly what its caller or role may do. Resource types are declared in one
// table per AWS service (types_iam.go, types_s3.go); adding a type is adding a
// row.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_Operations.html
package cfnapi
