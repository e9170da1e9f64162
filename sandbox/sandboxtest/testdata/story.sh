# The sandbox seen by the aws command. Prints what each step gave, one line each.
# The caller's environment has the broker's credentials and the role's ARN.
set -u
refused() { # prints the code of the error that a command gave
	if error=$("$@" 2>&1 >/dev/null); then echo "not refused"; else expr "$error" : '.*An error occurred (\([A-Za-z]*\))'; fi
}
echo "user: $(aws sts get-caller-identity --query Arn --output text)"
echo "no external ID: $(refused aws sts assume-role --role-arn "$ROLE" --role-session-name story)"
set -- $(aws sts assume-role --role-arn "$ROLE" --role-session-name story --external-id "$EXTERNAL_ID" \
	--query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]' --output text)
export AWS_ACCESS_KEY_ID=$1 AWS_SECRET_ACCESS_KEY=$2 AWS_SESSION_TOKEN=$3
echo "session: $(aws sts get-caller-identity --query Arn --output text)"
aws s3 mb s3://story-bucket
head -c 9000000 /dev/zero >"$HOME/large"
aws s3 cp --quiet "$HOME/large" "s3://story-bucket/a b/large"
aws s3 cp --quiet "s3://story-bucket/a b/large" "$HOME/copy" && cmp "$HOME/large" "$HOME/copy" && echo "copied in parts"
echo hello | aws s3 cp --quiet - s3://story-bucket/small
echo "read: $(aws s3 cp --quiet s3://story-bucket/small -)"
echo "listed: $(aws s3 ls s3://story-bucket --recursive | wc -l | tr -d ' ')"
echo "not allowed: $(refused aws iam list-roles)"
