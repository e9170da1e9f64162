package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// run goes through the scenario and says each step. It stops at the first one
// that does not go as it should.
func run(ctx context.Context, out io.Writer) error {
	w, err := newWorld(ctx, out)
	if err != nil {
		return err
	}
	defer w.done()
	for _, part := range []func() error{w.produce, w.prepareConsumers, w.before, w.deploy, w.use, w.beyond, w.remove} {
		if err := part(); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, "everything went as it should")
	return nil
}

// ok says that something was done, unless it failed.
func (w *world) ok(err error, format string, args ...any) error {
	step := fmt.Sprintf(format, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	fmt.Fprintln(w.out, "done     "+step)
	return nil
}

// refused says that something was refused, and for the reason that is part of the
// error.
func (w *world) refused(err error, reason, format string, args ...any) error {
	step := fmt.Sprintf(format, args...)
	switch {
	case err == nil:
		return fmt.Errorf("%s: was allowed, and should have been refused", step)
	case !strings.Contains(err.Error(), reason):
		return fmt.Errorf("%s: failed, but not with %q: %w", step, reason, err)
	}
	fmt.Fprintln(w.out, "refused  "+step)
	return nil
}

// inDomain and inRepository are the domain and the repository in arguments of the
// aws command.
var (
	inDomain     = []string{"--domain", "shop", "--domain-owner", accounts["shop-prod"]}
	inRepository = append(inDomain[:len(inDomain):len(inDomain)], "--repository", "clients")
)

// login lets npm use the repository with the token of a profile.
func (w *world) login(profile string) error {
	_, err := w.aws(profile, append([]string{"codeartifact", "login", "--tool", "npm"}, inRepository...)...)
	return err
}

// index is the URL by which pip finds the repository, with a token of a profile.
func (w *world) index(profile string) (string, error) {
	token, err := w.aws(profile, append([]string{"codeartifact", "get-authorization-token", "--query", "authorizationToken", "--output", "text"}, inDomain...)...)
	if err != nil {
		return "", err
	}
	endpoint, err := w.aws(profile, append([]string{"codeartifact", "get-repository-endpoint", "--format", "pypi", "--query", "repositoryEndpoint", "--output", "text"}, inRepository...)...)
	if err != nil {
		return "", err
	}
	return strings.Replace(endpoint, "://", "://aws:"+token+"@", 1), nil
}

// produce makes the repository and publishes the packages.
func (w *world) produce() error {
	_, err := w.aws("shop-prod", "cloudformation", "deploy", "--stack-name", "packages", "--template-file", "producer.yaml")
	if err := w.ok(err, "shop-prod makes the domain shop and the repository clients"); err != nil {
		return err
	}
	err = w.login("shop-prod")
	if err == nil {
		_, err = w.run("shop-prod", "packages/npm", "npm", "publish")
	}
	if err := w.ok(err, "shop-prod publishes @shop/orders with npm"); err != nil {
		return err
	}
	index, err := w.index("shop-prod")
	if err == nil {
		err = w.upload(index)
	}
	return w.ok(err, "shop-prod publishes shop-orders as twine does")
}

// prepareConsumers makes what the consumers have before any grant: a developer who
// may take the roles of builds.
func (w *world) prepareConsumers() error {
	for _, account := range []string{"bi-prod", "partner-prod", "stranger"} {
		_, err := w.aws(account, "cloudformation", "deploy", "--stack-name", "builds", "--template-file", "consumer.yaml", "--capabilities", "CAPABILITY_NAMED_IAM")
		if err := w.ok(err, "%s makes its roles", account); err != nil {
			return err
		}
		key, err := w.aws(account, "iam", "create-access-key", "--user-name", "developer", "--query", "AccessKey.[AccessKeyId,SecretAccessKey]", "--output", "text")
		if err != nil {
			return err
		}
		id, secret, _ := strings.Cut(key, "\t")
		if err := w.profile(account+"-developer", "aws_access_key_id = "+id, "aws_secret_access_key = "+secret); err != nil {
			return err
		}
		for _, role := range []string{"build", "other", "tokenless"} {
			if err := w.profile(account+"-"+role, "source_profile = "+account+"-developer", "role_arn = arn:aws:iam::"+accounts[account]+":role/"+role); err != nil {
				return err
			}
		}
	}
	return nil
}

// before shows that nothing is open yet.
func (w *world) before() error {
	return w.refused(w.login("bi-prod-build"), "AccessDenied", "before the grants, bi-prod's build gets no token")
}

// deploy deploys the compiled plan, wave by wave.
func (w *world) deploy() error {
	err := w.compile()
	if err == nil {
		_, err = w.run("administrator", "plan", "sh", "deploy.sh")
	}
	return w.ok(err, "the plan is compiled from crossaccount.yaml and deployed")
}

const (
	useNode   = "console.log(require('@shop/orders').path('a b'))"
	usePython = "import shop_orders; print(shop_orders.path('a b'))"
	result    = "/orders/a%20b"
)

// install installs the npm package with what a profile has logged in with, into a
// new folder, and uses it.
func (w *world) install(profile string) error {
	dir, err := os.MkdirTemp(w.dir, "app")
	if err != nil {
		return err
	}
	dir = filepath.Base(dir)
	if err := w.write(dir+"/package.json", []byte(`{"private": true}`)); err != nil {
		return err
	}
	// What was installed before must not come from the cache.
	if err := os.RemoveAll(filepath.Join(w.dir, "home", profile, ".npm")); err != nil {
		return err
	}
	if _, err := w.run(profile, dir, "npm", "install", "@shop/orders@1"); err != nil {
		return err
	}
	printed, err := w.run(profile, dir, "node", "-e", useNode)
	if err == nil && printed != result {
		err = fmt.Errorf("the package printed %q", printed)
	}
	return err
}

// pip installs the Python package into a new folder, and uses it.
func (w *world) pip(profile, index string) error {
	dir, err := os.MkdirTemp(w.dir, "app")
	if err != nil {
		return err
	}
	if _, err := w.run(profile, ".", "python3", "-m", "pip", "install", "--index-url", index+"simple/", "--target", dir, "shop-orders"); err != nil {
		return err
	}
	printed, err := w.run(profile, filepath.Base(dir), "python3", "-c", usePython)
	if err == nil && printed != result {
		err = fmt.Errorf("the package printed %q", printed)
	}
	return err
}

// use reads the packages with the roles that the grants name.
func (w *world) use() error {
	for _, profile := range []string{"bi-prod-build", "partner-prod-build"} {
		err := w.login(profile)
		if err == nil {
			err = w.install(profile)
		}
		if err := w.ok(err, "%s installs and uses @shop/orders with npm", profile); err != nil {
			return err
		}
	}
	index, err := w.index("bi-prod-build")
	if err == nil {
		err = w.pip("bi-prod-build", index)
	}
	if err := w.ok(err, "bi-prod-build installs and uses shop-orders with pip"); err != nil {
		return err
	}
	return w.refused(w.upload(index), "403", "bi-prod-build does not publish as twine does")
}

// beyond tries what no grant gives.
func (w *world) beyond() error {
	if _, err := w.run("bi-prod-build", "packages/npm", "npm", "version", "1.0.1", "--no-git-tag-version"); err != nil {
		return err
	}
	_, err := w.run("bi-prod-build", "packages/npm", "npm", "publish")
	return errors.Join(
		w.refused(err, "E403", "bi-prod-build does not publish with npm"),
		w.refused(w.login("bi-prod-other"), "codeartifact:GetAuthorizationToken", "another role of bi-prod, allowed everything by its own account, gets no token"),
		w.refused(w.login("stranger-other"), "codeartifact:GetAuthorizationToken", "another account gets no token"),
		w.refused(w.login("partner-prod-tokenless"), "sts:GetServiceBearerToken", "a role of partner-prod without sts:GetServiceBearerToken gets no token"),
		w.ok(w.login("partner-prod-other"), "another role of partner-prod gets one: its organization is admitted, and its account allows it"),
		w.leave(),
	)
}

// leave takes an account out of the organization that was admitted.
func (w *world) leave() error {
	for _, account := range w.box.Accounts() {
		if account.ID() == accounts["partner-prod"] {
			account.JoinOrganization("")
			defer account.JoinOrganization(organization)
		}
	}
	return w.refused(w.install("partner-prod-build"), "E403", "partner-prod, out of its organization, installs nothing with the token it has")
}

// remove removes the grants, and then the repository.
func (w *world) remove() error {
	_, err := w.run("administrator", "plan", "sh", "remove.sh")
	if err := w.ok(err, "the plan is removed, in reverse"); err != nil {
		return err
	}
	if err := errors.Join(
		w.refused(w.install("bi-prod-build"), "E403", "bi-prod-build installs nothing with the token it has"),
		w.refused(w.login("bi-prod-build"), "AccessDenied", "bi-prod-build gets no other"),
	); err != nil {
		return err
	}
	_, err = w.aws("shop-prod", "cloudformation", "delete-stack", "--stack-name", "packages")
	return w.ok(err, "shop-prod deletes the repository and the domain")
}
