package directory

import (
	"net/http"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// NoSuchRole is IAM's answer when a role does not exist.
func NoSuchRole(name string) *wire.Error {
	return noSuchEntity("The role with name %s cannot be found.", name)
}

// NoSuchUser is IAM's answer when a user does not exist.
func NoSuchUser(name string) *wire.Error {
	return noSuchEntity("The user with name %s cannot be found.", name)
}

// NoSuchPolicy is IAM's answer when a managed policy does not exist.
func NoSuchPolicy(arn string) *wire.Error {
	return noSuchEntity("Policy %s was not found.", arn)
}

func noAccount(id iam.AccountID) *wire.Error {
	return noSuchEntity("the account %s does not exist in this sandbox", id)
}

func noSuchEntity(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusNotFound, "NoSuchEntity", format, args...)
}

func alreadyExists(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusConflict, "EntityAlreadyExists", format, args...)
}

func deleteConflict(message string) *wire.Error {
	return wire.Errorf(http.StatusConflict, "DeleteConflict", "%s", message)
}
