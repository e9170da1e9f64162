// Command function is the consumer as Lambda runs it, with the runtime
// provided.al2023.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"

	"github.com/crossaccount/crossaccount/examples/orders-stream/consumer"
)

func main() {
	var counter consumer.Counter
	lambda.Start(counter.Handle)
}
