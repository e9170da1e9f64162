package iamapi

import (
	"net/http"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

func noSuchEntity(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusNotFound, "NoSuchEntity", format, args...)
}

func noSuchInline(k kind, policyName string) *wire.Error {
	return noSuchEntity("The %s policy with name %s cannot be found.", k.noun, policyName)
}

// hasPathPrefix reports whether the path in a policy's ARN begins with prefix.
func hasPathPrefix(policyARN, prefix string) bool {
	_, path, _ := strings.Cut(policyARN, ":policy")
	return strings.HasPrefix(path, prefix)
}
