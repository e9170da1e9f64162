package crossaccount_test

import (
	"testing"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/store/storetest"
)

func TestMemoryStorageKeepsTheLaw(t *testing.T) {
	storetest.Run(t, func(*testing.T) crossaccount.CredentialStorage { return crossaccount.NewMemoryStorage() })
}
