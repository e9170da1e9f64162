package main

import (
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/sandbox"
)

// The accounts and their names, which are those of the aws command's profiles.
var accounts = map[string]string{
	"shop-prod": "111111111111", "bi-prod": "222222222222", "partner-prod": "333333333333", "stranger": "444444444444",
}

const (
	region       = "eu-central-1"
	organization = "o-partner0001"
)

//go:embed crossaccount.yaml producer.yaml consumer.yaml all:packages
var files embed.FS

// A world is the sandbox, reached over HTTP, and a folder with everything that the
// programs in it read and write.
type world struct {
	ctx  context.Context
	out  io.Writer
	box  *sandbox.Sandbox
	url  string
	dir  string
	path map[string]string // of the programs
	done func()
}

// newWorld starts a sandbox with the accounts. Its done must be called.
func newWorld(ctx context.Context, out io.Writer) (*world, error) {
	w := &world{ctx: ctx, out: out, box: sandbox.New(sandbox.Options{}), path: make(map[string]string)}
	for _, program := range []string{"sh", "aws", "node", "npm", "python3"} {
		path, err := exec.LookPath(program)
		if err != nil {
			return nil, fmt.Errorf("%s is needed and is not on PATH", program)
		}
		w.path[program] = path
	}
	dir, err := os.MkdirTemp("", "codeartifact")
	if err != nil {
		return nil, err
	}
	w.dir = dir
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	server := &http.Server{Handler: w.box, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // ends with Close
	w.url = "http://" + listener.Addr().String()
	w.done = func() {
		_ = server.Close()
		_ = os.RemoveAll(dir)
	}
	if err := w.prepare(); err != nil {
		w.done()
		return nil, err
	}
	return w, nil
}

// prepare writes the files, and the aws command's profiles: one for each account's
// administrator.
func (w *world) prepare() error {
	if err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		return w.write(name, data)
	}); err != nil {
		return err
	}
	for name, id := range accounts {
		account, err := w.box.CreateAccount(id)
		if err != nil {
			return err
		}
		root := account.Root()
		if err := w.profile(name, "aws_access_key_id = "+root.AccessKeyID, "aws_secret_access_key = "+root.SecretAccessKey); err != nil {
			return err
		}
		if name == "partner-prod" {
			account.JoinOrganization(organization)
		}
	}
	return nil
}

func (w *world) write(name string, data []byte) error {
	path := filepath.Join(w.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// profile adds a profile of the aws command.
func (w *world) profile(name string, lines ...string) error {
	f, err := os.OpenFile(filepath.Join(w.dir, "aws-config"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "[profile %s]\nregion = %s\n%s\n", name, region, strings.Join(lines, "\n"))
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}

// compile writes what crossaccount compile writes, into the folder plan.
func (w *world) compile() error {
	manifest, err := files.ReadFile("crossaccount.yaml")
	if err != nil {
		return err
	}
	m, err := grant.Parse(manifest)
	if err != nil {
		return err
	}
	plan, err := grant.Compile(m, grant.Options{Format: grant.CloudFormation})
	if err != nil {
		return err
	}
	list, err := plan.Files()
	if err != nil {
		return err
	}
	for _, f := range list {
		if err := w.write("plan/"+f.Path, f.Data); err != nil {
			return err
		}
	}
	return nil
}

// run runs a program in a folder, with an environment in which it can find
// nothing but the sandbox, and returns what it printed. Who has settings of npm
// and a cache of its own.
func (w *world) run(who, dir, program string, args ...string) (string, error) {
	command := exec.CommandContext(w.ctx, w.path[program], args...)
	home := filepath.Join(w.dir, "home", who)
	command.Dir = filepath.Join(w.dir, dir)
	for _, folder := range []string{home, command.Dir} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return "", err
		}
	}
	command.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LC_ALL=C.UTF-8", "PYTHONUTF8=1", "NO_PROXY=*",
		"AWS_ENDPOINT_URL=" + w.url, "AWS_CONFIG_FILE=" + filepath.Join(w.dir, "aws-config"), "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
		"AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=",
		"NPM_CONFIG_USERCONFIG=" + filepath.Join(home, ".npmrc"), "NPM_CONFIG_GLOBALCONFIG=" + filepath.Join(home, "none"),
		"NPM_CONFIG_CACHE=" + filepath.Join(home, ".npm"), "NPM_CONFIG_AUDIT=false", "NPM_CONFIG_FUND=false",
		"NPM_CONFIG_UPDATE_NOTIFIER=false", "NPM_CONFIG_FETCH_RETRIES=0",
		"PIP_CONFIG_FILE=" + os.DevNull, "PIP_NO_CACHE_DIR=1", "PIP_NO_INPUT=1", "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_RETRIES=0",
	}
	// Whoever has not logged in finds nothing, and not somebody else's packages.
	settings := filepath.Join(home, ".npmrc")
	if _, err := os.Stat(settings); os.IsNotExist(err) {
		if err := os.WriteFile(settings, []byte("registry="+w.url+"/nowhere/\n"), 0o600); err != nil {
			return "", err
		}
	}
	output, err := command.CombinedOutput()
	if err != nil {
		return string(output), fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, output)
	}
	return strings.TrimSpace(string(output)), nil
}

func (w *world) aws(profile string, args ...string) (string, error) {
	return w.run(profile, ".", "aws", append([]string{"--profile", profile}, args...)...)
}
