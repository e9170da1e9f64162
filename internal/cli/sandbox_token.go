package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/broker"
)

// A sandboxToken asks a sandbox that runs as a process of its own for the token
// of a service account.
type sandboxToken struct {
	streams                                 Streams
	endpoint, cluster, namespace, name, pod string
	audience                                string
	lifetime                                time.Duration
	asJSON                                  bool
}

func newSandboxToken(streams Streams) *cobra.Command {
	t := &sandboxToken{streams: streams}
	c := &cobra.Command{
		Use:   "token --cluster NAME --namespace NAMESPACE --service-account NAME",
		Short: "Print the token of a service account of an EKS cluster in a running sandbox",
		Long: `Ask a running sandbox for the token that a pod of an EKS cluster would find in a
file, and print it. There is no Kubernetes in a sandbox, so any namespace and
service account will do; the cluster is made as in AWS, with CreateCluster or a
stack. Give AWS_ENDPOINT_URL, AWS_REGION and the credentials of a principal of the
cluster's account who may do eks:AccessKubernetesApi, as the sandbox printed them.

With IAM roles for service accounts, a program is then what runs in the pod:

  crossaccount sandbox token --cluster shop --namespace reports --service-account reader > token
  unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
  export AWS_ROLE_ARN=arn:aws:iam::111122223333:role/reader AWS_WEB_IDENTITY_TOKEN_FILE=$PWD/token
  aws sts get-caller-identity

With Pod Identity the node shows a token that is made for that to EKS:

  crossaccount sandbox token --cluster shop --namespace reports \
    --service-account reader --audience pods.eks.amazonaws.com > token
  aws eks-auth assume-role-for-pod-identity --cluster-name shop --token "$(cat token)"

Exit code 1 if the sandbox refuses, 3 if it cannot be reached.`,
		Example: `  crossaccount sandbox token --cluster shop --namespace reports --service-account reader > token
  crossaccount sandbox token --cluster shop --namespace reports --service-account reader --lifetime 10m --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return t.run(c.Context()) },
	}
	f := c.Flags()
	f.StringVar(&t.endpoint, "endpoint", "", "`URL` of the sandbox; AWS_ENDPOINT_URL if it is not given")
	f.StringVar(&t.cluster, "cluster", "", "`name` of the EKS cluster")
	f.StringVar(&t.namespace, "namespace", "", "Kubernetes `namespace`")
	f.StringVar(&t.name, "service-account", "", "`name` of the service account")
	f.StringVar(&t.pod, "pod", "pod", "`name` of the pod")
	f.StringVar(&t.audience, "audience", "sts.amazonaws.com", "whom the token is for: sts.amazonaws.com, or pods.eks.amazonaws.com for Pod Identity")
	f.DurationVar(&t.lifetime, "lifetime", 24*time.Hour, "how long it is valid, ten minutes or more")
	f.BoolVar(&t.asJSON, "json", false, "print the token and when it ends as JSON")
	for _, name := range []string{"cluster", "namespace", "service-account"} {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // the flag does not exist
		}
	}
	fixedValues(c, "audience", "sts.amazonaws.com", "pods.eks.amazonaws.com")
	return c
}

func (t *sandboxToken) run(ctx context.Context) error {
	endpoint, err := t.address()
	if err != nil {
		return &exitError{ExitUsage, err}
	}
	// Only what the sandbox printed: a profile or a role could make the SDK ask AWS.
	environment, err := config.NewEnvConfig()
	switch {
	case err != nil:
		return &exitError{ExitUsage, fmt.Errorf("the AWS_ variables cannot be read: %w", err)}
	case !environment.Credentials.HasKeys():
		return &exitError{ExitUsage, errors.New("there are no AWS credentials; export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY as the sandbox printed them for the cluster's account")}
	case environment.Region == "":
		return &exitError{ExitUsage, errors.New("AWS_REGION is not set; export the cluster's region")}
	}
	request, err := t.request(ctx, endpoint)
	if err != nil {
		return &exitError{ExitUsage, err}
	}
	transport, err := trustingTransport()
	if err != nil {
		return &exitError{ExitUsage, err}
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: broker.NewSigningTransport(transport, credentials.StaticCredentialsProvider{Value: environment.Credentials}, "eks", environment.Region, endpoint.Host), Timeout: 30 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return &exitError{ExitUndetermined, fmt.Errorf("the sandbox cannot be reached: %w; is %s its address?", err, endpoint)}
	}
	defer response.Body.Close()
	return t.answer(response)
}

// address returns where the sandbox is. Only this machine is asked: what is signed
// for a sandbox is nobody else's.
func (t *sandboxToken) address() (*url.URL, error) {
	text, from := t.endpoint, "--endpoint"
	if text == "" {
		text, from = os.Getenv("AWS_ENDPOINT_URL"), "AWS_ENDPOINT_URL"
	}
	if text == "" {
		return nil, errors.New("where the sandbox is must be given, with --endpoint or AWS_ENDPOINT_URL")
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || !onThisMachine(u.Hostname()) {
		return nil, fmt.Errorf("%s %.200q: must be the address of a sandbox on this machine, such as http://127.0.0.1:4566", from, text)
	}
	return u, nil
}

// request makes the request that a node would make of the cluster.
func (t *sandboxToken) request(ctx context.Context, endpoint *url.URL) (*http.Request, error) {
	body, err := json.Marshal(map[string]any{
		"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
		"spec": map[string]any{
			"audiences": []string{t.audience}, "expirationSeconds": int64(t.lifetime / time.Second),
			"boundObjectRef": map[string]string{"apiVersion": "v1", "kind": "Pod", "name": t.pod},
		},
	})
	if err != nil {
		return nil, err
	}
	path := endpoint.JoinPath("clusters", url.PathEscape(t.cluster), "api/v1/namespaces", url.PathEscape(t.namespace), "serviceaccounts", url.PathEscape(t.name), "token")
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, path.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	return request, nil
}

// answer prints the token, or says in the sandbox's words why there is none.
func (t *sandboxToken) answer(response *http.Response) error {
	var answer struct {
		Message string `json:"message"`
		Status  struct {
			Token               string    `json:"token"`
			ExpirationTimestamp time.Time `json:"expirationTimestamp"`
		} `json:"status"`
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	switch {
	case err == nil && response.StatusCode != http.StatusCreated && answer.Message != "":
		return &exitError{ExitNo, fmt.Errorf("%.1000s", oneLine(answer.Message))}
	case err != nil || response.StatusCode != http.StatusCreated || answer.Status.Token == "":
		return &exitError{ExitUndetermined, fmt.Errorf("the answer %s is not that of a sandbox; is %s://%s its address?", response.Status, response.Request.URL.Scheme, response.Request.URL.Host)}
	case t.asJSON:
		return printJSONLine(t.streams.Out, servedToken{answer.Status.Token, answer.Status.ExpirationTimestamp})
	}
	_, err = fmt.Fprintln(t.streams.Out, answer.Status.Token)
	return err
}

// A servedToken is what --json prints of a token.
type servedToken struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
}
