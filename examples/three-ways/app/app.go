// Package app is the application: it reads a password and a price. It does not
// know whose they are, nor how it came to be allowed.
package app

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// Names say what to read. In the account that owns them names will do; from
// another account both must be full ARNs.
type Names struct{ Secret, Table string }

// A Report is what the application makes.
type Report struct {
	Password string
	Price    string // of tea
}

// Read makes a report with the credentials of config.
func Read(ctx context.Context, config aws.Config, names Names) (*Report, error) {
	secret, err := secretsmanager.NewFromConfig(config).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &names.Secret})
	if err != nil {
		return nil, fmt.Errorf("the secret: %w", err)
	}
	tea, err := dynamodb.NewFromConfig(config).GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &names.Table, Key: map[string]types.AttributeValue{"item": &types.AttributeValueMemberS{Value: "tea"}},
	})
	if err != nil {
		return nil, fmt.Errorf("the table: %w", err)
	}
	price, ok := tea.Item["price"].(*types.AttributeValueMemberN)
	if !ok {
		return nil, fmt.Errorf("the table %s has no price of tea", names.Table)
	}
	return &Report{aws.ToString(secret.SecretString), price.Value}, nil
}
