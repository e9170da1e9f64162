package world_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/iam/world"
)

func bigWorld(n int) string {
	var b strings.Builder
	b.WriteString(`{"format":1,"roles":[`)
	for i := range n {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, `{"arn":"arn:aws:iam::111111111111:role/r%d","trust":{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}},"inline":[{"name":"p","document":{"Version":"2012-10-17","Statement":[`, i)
		for j := range 20 {
			if j > 0 {
				b.WriteString(",\n")
			}
			fmt.Fprintf(&b, `{"Effect":"Allow","Action":["s3:Get*","s3:List*"],"Resource":"arn:aws:s3:::b%d-%d/*","Condition":{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}}`, i, j)
		}
		b.WriteString(`]}}]}`)
	}
	b.WriteString(`]}`)
	return b.String()
}

func BenchmarkRead(b *testing.B) {
	text := []byte(bigWorld(1000))
	for b.Loop() {
		if _, err := world.Read(bytes.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	s, _ := world.Read(strings.NewReader(bigWorld(1000)))
	for b.Loop() {
		if _, err := world.Compile(s); err != nil {
			b.Fatal(err)
		}
	}
}
