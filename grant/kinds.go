package grant

import "sync"

// kinds lists every kind of resource. The order is that of "crossaccount
// explain".
var kinds = sync.OnceValue(func() []*kind {
	return []*kind{
		s3Bucket(), sqsQueue(), snsTopic(), kmsKey(), secret(), kinesisStream(),
		dynamoTable(), lambdaFunction(), eventBus(), ecrRepository(), iamRole(),
		restAPI(), httpAPI(), codeArtifactRepository(), stateMachine(),
	}
})
