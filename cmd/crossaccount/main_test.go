package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the golden parts of the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"crossaccount": main})
}

// The scripts' names begin with the command they are about. Besides what
// testscript has, they know the commands in world_test.go.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition: func(name string) (bool, error) {
			if name != "aws" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			_, err := exec.LookPath("aws")
			if err != nil && os.Getenv("CI") != "" {
				return false, errors.New("the aws command is missing; scripts/install-tools installs it")
			}
			return err == nil, nil
		},
		Setup: func(env *testscript.Env) error {
			// Nothing may find real credentials; the home folder is the
			// script's own.
			env.Setenv("AWS_EC2_METADATA_DISABLED", "true")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"aws-world":            awsWorld,
			"ask":                  ask,
			"await":                await,
			"free-address":         freeAddress,
			"await-file":           awaitFile,
			"conformance-accounts": conformanceAccounts,
			"deployed-plan":        deployedPlan,
			"eks-cluster":          eksCluster,
			"customer-role":        customerRole,
			"launch":               launch,
			"jsonenv":              jsonEnv,
			"sign-in-endpoint":     signInEndpoint,
		},
	})
}
