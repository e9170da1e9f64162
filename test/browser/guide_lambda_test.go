package browser

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/crossaccount/crossaccount"
)

// lambdaProgram is the integration guide's Lambda handler as its reader writes
// it: start, complete and one operation with the customer's account; other
// methods are answered with 405.
type lambdaProgram struct{ client *crossaccount.Client }

func (l lambdaProgram) handle(ctx context.Context, request events.APIGatewayProxyRequest) (events.APIGatewayProxyResponse, error) {
	switch request.HTTPMethod {
	case http.MethodPost:
		switch request.Path {
		case "/api/integration/start":
			return l.start(ctx, request)
		case "/api/integration/complete":
			return l.complete(ctx, request)
		}
	case http.MethodGet:
		if id := request.PathParameters["id"]; id != "" {
			return l.data(ctx, id)
		}
	default:
		return events.APIGatewayProxyResponse{StatusCode: http.StatusMethodNotAllowed}, nil
	}
	return events.APIGatewayProxyResponse{StatusCode: http.StatusNotFound}, nil
}

func (l lambdaProgram) start(ctx context.Context, request events.APIGatewayProxyRequest) (events.APIGatewayProxyResponse, error) {
	var req crossaccount.IntegrationRequest
	if err := json.Unmarshal([]byte(request.Body), &req); err != nil {
		return events.APIGatewayProxyResponse{StatusCode: http.StatusBadRequest}, nil
	}
	resp, err := l.client.GenerateIntegrationURL(ctx, &req)
	if err != nil {
		return problem(err), nil
	}
	body, err := json.Marshal(resp)
	if err != nil {
		return events.APIGatewayProxyResponse{}, err
	}
	return events.APIGatewayProxyResponse{StatusCode: http.StatusOK, Body: string(body)}, nil
}

func (l lambdaProgram) complete(ctx context.Context, request events.APIGatewayProxyRequest) (events.APIGatewayProxyResponse, error) {
	var req crossaccount.VerificationRequest
	if err := json.Unmarshal([]byte(request.Body), &req); err != nil {
		return events.APIGatewayProxyResponse{StatusCode: http.StatusBadRequest}, nil
	}
	report, err := l.client.Complete(ctx, &req)
	if err != nil {
		return problem(err), nil
	}
	body, err := json.Marshal(report)
	if err != nil {
		return events.APIGatewayProxyResponse{}, err
	}
	return events.APIGatewayProxyResponse{StatusCode: http.StatusOK, Body: string(body)}, nil
}

func (l lambdaProgram) data(ctx context.Context, customer string) (events.APIGatewayProxyResponse, error) {
	cfg, err := l.client.AssumeCustomerRole(ctx, customer)
	if err != nil {
		return problem(err), nil
	}
	object, err := s3.NewFromConfig(cfg).GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(guideBucket), Key: aws.String(guideKey)})
	if err != nil {
		return problem(err), nil
	}
	defer object.Body.Close()
	content, err := io.ReadAll(object.Body)
	if err != nil {
		return problem(err), nil
	}
	return events.APIGatewayProxyResponse{StatusCode: http.StatusOK, Body: base64.StdEncoding.EncodeToString(content), IsBase64Encoded: true}, nil
}

func problem(err error) events.APIGatewayProxyResponse {
	body, _ := json.Marshal(err) // an *Error of ours writes code, message and remedy
	return events.APIGatewayProxyResponse{StatusCode: crossaccount.StatusOf(crossaccount.CodeOf(err)), Body: string(body)}
}

// gateway does what API Gateway does with a proxy integration.
func gateway(t *testing.T, handle func(context.Context, events.APIGatewayProxyRequest) (events.APIGatewayProxyResponse, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		request := events.APIGatewayProxyRequest{HTTPMethod: r.Method, Path: r.URL.Path, Body: string(body), PathParameters: map[string]string{}}
		if rest, ok := strings.CutPrefix(r.URL.Path, "/api/customer/"); ok {
			request.PathParameters["id"], _, _ = strings.Cut(rest, "/")
		}
		response, err := handle(r.Context(), request)
		if err != nil {
			http.Error(w, "the function failed", http.StatusBadGateway)
			return
		}
		content := []byte(response.Body)
		if response.IsBase64Encoded {
			if content, err = base64.StdEncoding.DecodeString(response.Body); err != nil {
				t.Error(err)
			}
		}
		for name, value := range response.Headers {
			w.Header().Set(name, value)
		}
		w.WriteHeader(response.StatusCode)
		w.Write(content)
	})
}

// TestGuideLambda is the guide's Lambda function behind a gateway, with the page
// beside it: its forms go to the function.
func TestGuideLambda(t *testing.T) {
	v := newVendor(t, 2*time.Second, nil)
	// The page and the function are two processes that share a storage.
	page, function := v.another(), lambdaProgram{v.another()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /integrate", page.ServeSetupUI)
	mux.Handle("/", gateway(t, function.handle))
	v.guide(t, mux, "fabrikam")

	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodHead, http.MethodOptions} {
		response, err := function.handle(t.Context(), events.APIGatewayProxyRequest{HTTPMethod: method, Path: "/api/integration/start"})
		if err != nil || response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s is answered with %d, %v", method, response.StatusCode, err)
		}
	}
}
