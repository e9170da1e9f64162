package clients_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkcredentials "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// A goSDK goes through the scenario with the AWS SDK for Go.
type goSDK struct {
	*scenario
	ctx  context.Context
	http *http.Client
	seen []observation
}

func runGoSDK(t *testing.T, s *scenario) []observation {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	g := &goSDK{scenario: s, ctx: t.Context(), http: &http.Client{Transport: transport}}
	session := g.assuming()
	g.wrongCredentials(session)
	g.objects(session)
	g.stacks()
	return g.seen
}

func (g *goSDK) step(name string, call func() (string, error)) {
	value, err := call()
	o := observation{Step: name, Value: value}
	if err != nil {
		o = observation{Step: name, Code: err.Error()}
		if api := smithy.APIError(nil); errors.As(err, &api) {
			o.Code = api.ErrorCode()
		}
	}
	g.seen = append(g.seen, o)
}

func (g *goSDK) config(c credentials) aws.Config {
	return aws.Config{
		Region: g.Region, BaseEndpoint: &g.Endpoint, HTTPClient: g.http,
		Credentials: sdkcredentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken),
		// As config.LoadDefaultConfig does.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	}
}

func (g *goSDK) assume(change func(*sts.AssumeRoleInput)) (*sts.AssumeRoleOutput, error) {
	in := &sts.AssumeRoleInput{RoleArn: &g.Role, RoleSessionName: aws.String("scenario"), ExternalId: &g.ExternalID}
	change(in)
	return sts.NewFromConfig(g.config(g.Broker)).AssumeRole(g.ctx, in)
}

func (g *goSDK) identity(c credentials) func() (string, error) {
	return func() (string, error) {
		out, err := sts.NewFromConfig(g.config(c)).GetCallerIdentity(g.ctx, nil)
		if err != nil {
			return "", err
		}
		return *out.Arn, nil
	}
}

func (g *goSDK) get(c credentials, key string) func() (string, error) {
	return func() (string, error) {
		out, err := s3.NewFromConfig(g.config(c)).GetObject(g.ctx, &s3.GetObjectInput{Bucket: &g.Bucket, Key: &key})
		if err != nil {
			return "", err
		}
		defer out.Body.Close()
		data, err := io.ReadAll(out.Body)
		return string(data), err
	}
}

func (g *goSDK) assuming() (session credentials) {
	g.step("identity of the user", g.identity(g.Broker))
	for name, change := range map[string]func(*sts.AssumeRoleInput){
		"assume without external ID":             func(in *sts.AssumeRoleInput) { in.ExternalId = nil },
		"assume with a wrong external ID":        func(in *sts.AssumeRoleInput) { in.ExternalId = aws.String(strings.ToUpper(g.ExternalID)) },
		"assume with a malformed external ID":    func(in *sts.AssumeRoleInput) { in.ExternalId = aws.String("with a space") },
		"assume for longer than the role allows": func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(7200) },
		"assume with the external ID":            func(*sts.AssumeRoleInput) {},
	} {
		g.step(name, func() (string, error) {
			out, err := g.assume(change)
			if err != nil {
				return "", err
			}
			session = credentials{*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken}
			return *out.AssumedRoleUser.Arn, nil
		})
	}
	g.step("identity of the session", g.identity(session))
	g.step("get", g.get(session, g.Readable))
	g.step("get outside the prefix", g.get(session, g.Secret))
	g.step("put", func() (string, error) {
		_, err := s3.NewFromConfig(g.config(session)).PutObject(g.ctx, &s3.PutObjectInput{Bucket: &g.Bucket, Key: &g.Readable, Body: strings.NewReader("new")})
		return "", err
	})
	return session
}

func (g *goSDK) wrongCredentials(session credentials) {
	wrong, madeUp := session, session
	wrong.SecretAccessKey = wrong.SecretAccessKey[:len(wrong.SecretAccessKey)-1] + "!"
	madeUp.SessionToken = "made up"
	for name, c := range map[string]credentials{"wrong secret": wrong, "made-up token": madeUp, "expired token": g.Expired} {
		g.step(name+", STS", g.identity(c))
		g.step(name+", S3", g.get(c, g.Readable))
	}
	g.step("operation the sandbox lacks", func() (string, error) {
		_, err := iam.NewFromConfig(g.config(g.Admin)).ListSAMLProviders(g.ctx, nil)
		return "", err
	})
}

func (g *goSDK) objects(session credentials) {
	client := s3.NewFromConfig(g.config(g.Admin))
	g.step("get what is not there", g.get(g.Admin, "missing"))
	g.step("upload and download", func() (string, error) {
		f, err := os.Open(g.Large)
		if err != nil {
			return "", err
		}
		defer f.Close()
		if _, err := client.PutObject(g.ctx, &s3.PutObjectInput{Bucket: &g.Bucket, Key: aws.String("large"), Body: f}); err != nil {
			return "", err
		}
		return g.download(client, "large")
	})
	g.step("upload and download in parts", func() (string, error) {
		if err := g.uploadInParts(client, g.Larger, "larger"); err != nil {
			return "", err
		}
		return g.download(client, "larger")
	})
	g.step("list objects in pages", func() (string, error) {
		var keys []string
		pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &g.Bucket, Prefix: &g.Many, MaxKeys: aws.Int32(2)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(g.ctx)
			if err != nil {
				return "", err
			}
			for _, object := range page.Contents {
				keys = append(keys, *object.Key)
			}
		}
		return strings.Join(keys, "\n"), nil
	})
	g.step(presigned, func() (string, error) {
		out, err := s3.NewPresignClient(s3.NewFromConfig(g.config(session))).PresignGetObject(g.ctx,
			&s3.GetObjectInput{Bucket: &g.Bucket, Key: &g.Readable}, s3.WithPresignExpires(time.Hour))
		if err != nil {
			return "", err
		}
		return out.URL, nil
	})
}

func (g *goSDK) download(client *s3.Client, key string) (string, error) {
	out, err := client.GetObject(g.ctx, &s3.GetObjectInput{Bucket: &g.Bucket, Key: &key, ChecksumMode: s3types.ChecksumModeEnabled})
	if err != nil {
		return "", err
	}
	defer out.Body.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, out.Body) // fails if the checksum is not that of the body
	return hex.EncodeToString(sum.Sum(nil)), err
}

// uploadInParts does what the SDK's transfer manager does, a module of its own.
func (g *goSDK) uploadInParts(client *s3.Client, file, key string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	algorithm := s3types.ChecksumAlgorithmCrc32 // as of the transfer manager, and of the other SDKs
	upload, err := client.CreateMultipartUpload(g.ctx, &s3.CreateMultipartUploadInput{Bucket: &g.Bucket, Key: &key, ChecksumAlgorithm: algorithm})
	if err != nil {
		return err
	}
	const partSize = 5 << 20
	var parts []s3types.CompletedPart
	for offset := int64(0); offset < info.Size(); offset += partSize {
		number := aws.Int32(int32(len(parts) + 1))
		part, err := client.UploadPart(g.ctx, &s3.UploadPartInput{
			Bucket: &g.Bucket, Key: &key, UploadId: upload.UploadId, PartNumber: number, ChecksumAlgorithm: algorithm,
			Body: io.NewSectionReader(f, offset, min(partSize, info.Size()-offset)),
		})
		if err != nil {
			return err
		}
		parts = append(parts, s3types.CompletedPart{PartNumber: number, ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32})
	}
	_, err = client.CompleteMultipartUpload(g.ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &g.Bucket, Key: &key, UploadId: upload.UploadId, MultipartUpload: &s3types.CompletedMultipartUpload{Parts: parts},
	})
	return err
}

func (g *goSDK) stacks() {
	roles := iam.NewFromConfig(g.config(g.Admin))
	g.step("list roles in pages", func() (string, error) {
		var names []string
		pages := iam.NewListRolesPaginator(roles, &iam.ListRolesInput{PathPrefix: &g.Team, MaxItems: aws.Int32(2)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(g.ctx)
			if err != nil {
				return "", err
			}
			for _, role := range page.Roles {
				names = append(names, *role.RoleName)
			}
		}
		return strings.Join(names, "\n"), nil
	})

	client := cloudformation.NewFromConfig(g.config(g.Admin))
	name := aws.String("scenario")
	parameters := []cfntypes.Parameter{{ParameterKey: aws.String("Vendor"), ParameterValue: &g.VendorID}}
	named := []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam}
	described := func() (cfntypes.Stack, error) {
		out, err := client.DescribeStacks(g.ctx, &cloudformation.DescribeStacksInput{StackName: name})
		if err != nil {
			return cfntypes.Stack{}, err
		}
		return out.Stacks[0], nil
	}
	create := func(capabilities []cfntypes.Capability) error {
		_, err := client.CreateStack(g.ctx, &cloudformation.CreateStackInput{StackName: name, TemplateBody: &g.Template, Parameters: parameters, Capabilities: capabilities})
		return err
	}

	g.step("create stack without capability", func() (string, error) { return "", create(nil) })
	g.step("create stack and wait", func() (string, error) {
		if err := create(named); err != nil {
			return "", err
		}
		waiter := cloudformation.NewStackCreateCompleteWaiter(client, func(o *cloudformation.StackCreateCompleteWaiterOptions) {
			o.MinDelay, o.MaxDelay = 100*time.Millisecond, time.Second
		})
		if err := waiter.Wait(g.ctx, &cloudformation.DescribeStacksInput{StackName: name}, time.Minute); err != nil {
			return "", err
		}
		stack, err := described()
		return string(stack.StackStatus), err
	})
	g.step("output of the stack", func() (string, error) {
		stack, err := described()
		if err != nil || len(stack.Outputs) != 1 {
			return "", errors.Join(err, errors.New("not one output"))
		}
		return *stack.Outputs[0].OutputValue, nil
	})
	g.step("trust of the stack's role", func() (string, error) { return trustedAccount(g.ctx, roles) })
	g.step("update stack with nothing", func() (string, error) {
		_, err := client.UpdateStack(g.ctx, &cloudformation.UpdateStackInput{StackName: name, TemplateBody: &g.Template, Parameters: parameters, Capabilities: named})
		return "", err
	})
	g.step("delete stack and wait", func() (string, error) {
		if _, err := client.DeleteStack(g.ctx, &cloudformation.DeleteStackInput{StackName: name}); err != nil {
			return "", err
		}
		waiter := cloudformation.NewStackDeleteCompleteWaiter(client, func(o *cloudformation.StackDeleteCompleteWaiterOptions) {
			o.MinDelay, o.MaxDelay = 100*time.Millisecond, time.Second
		})
		return "", waiter.Wait(g.ctx, &cloudformation.DescribeStacksInput{StackName: name}, time.Minute)
	})
	g.step("describe deleted stack", func() (string, error) {
		stack, err := described()
		return string(stack.StackStatus), err
	})
}

// trustedAccount reads the document as IAM gives it to programs: URL-encoded.
func trustedAccount(ctx context.Context, client *iam.Client) (string, error) {
	out, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("made-by-stack")})
	if err != nil {
		return "", err
	}
	text, err := url.QueryUnescape(*out.Role.AssumeRolePolicyDocument)
	if err != nil {
		return "", err
	}
	var document struct {
		Statement []struct{ Principal struct{ AWS string } }
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		return "", err
	}
	return strings.Split(document.Statement[0].Principal.AWS, ":")[4], nil
}
