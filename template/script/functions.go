package script

// functions is the part of every script that does not depend on the stack.
const functions = `
fail() {
  printf 'error: %s\n' "$1" >&2
  exit 1
}

# check NAME VALUE MIN MAX PATTERN RULE: ends the script if a value is illegal.
check() {
  case $2 in *[[:cntrl:]]*) fail "$1 contains a control character" ;; esac
  if [ ${#2} -lt "$3" ] || [ ${#2} -gt "$4" ]; then fail "$1 must have $3 to $4 characters"; fi
  if [ -n "$5" ] && ! printf '%s\n' "$2" | grep -Eqx -e "$5"; then fail "$1 must be $6"; fi
}

# json TEXT: prints the text as it stands inside a JSON string.
json() {
  printf '%s' "$1" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g'
}

# exists COMMAND...: whether a get command finds something. Any other error than
# that there is no such thing ends the script.
exists() {
  if answer=$("$@" 2>&1); then return 0; fi
  case $answer in *NoSuchEntity*) return 1 ;; esac
  fail "$answer"
}

# put_role NAME ARN CREATE UPDATE TRUST: creates or updates a role.
put_role() {
  if exists aws iam get-role --role-name="$1"; then
    found=$(aws iam get-role --role-name="$1" --query Role.Arn --output text)
    [ "$found" = "$2" ] || fail "there is another role with this name, $found; choose another name or remove it"
    aws iam update-assume-role-policy --cli-input-json "$5"
    aws iam update-role --cli-input-json "$4" >/dev/null
  else
    aws iam create-role --cli-input-json "$3" >/dev/null
  fi
}

# put_policy ARN CREATE VERSION: creates a managed policy, or a new version of it.
put_policy() {
  if exists aws iam get-policy --policy-arn="$1"; then
    count=$(aws iam list-policy-versions --policy-arn="$1" --query 'length(Versions)' --output text)
    if [ "$count" -ge 5 ]; then
      oldest=$(aws iam list-policy-versions --policy-arn="$1" --query 'sort_by(Versions[?!IsDefaultVersion], &CreateDate)[0].VersionId' --output text)
      aws iam delete-policy-version --policy-arn="$1" --version-id="$oldest"
    fi
    aws iam create-policy-version --cli-input-json "$3" >/dev/null
  else
    aws iam create-policy --cli-input-json "$2" >/dev/null
  fi
}

# remove_policy ARN: detaches a managed policy from all roles and deletes it.
remove_policy() {
  if exists aws iam get-policy --policy-arn="$1"; then
    list=$(aws iam list-entities-for-policy --policy-arn="$1" --entity-filter Role --query 'PolicyRoles[].RoleName' --output text)
    for entity in $list; do
      aws iam detach-role-policy --role-name="$entity" --policy-arn="$1"
    done
    list=$(aws iam list-policy-versions --policy-arn="$1" --query 'Versions[?!IsDefaultVersion].VersionId' --output text)
    for version in $list; do
      aws iam delete-policy-version --policy-arn="$1" --version-id="$version"
    done
    aws iam delete-policy --policy-arn="$1"
  fi
}

# prune ROLE PATH ARN...: removes the role's policies on a path, except these.
# They come from an earlier version of this script.
prune() {
  pruned_role=$1 pruned_path=$2
  shift 2
  list=$(aws iam list-attached-role-policies --role-name="$pruned_role" --path-prefix="$pruned_path" --query 'AttachedPolicies[].PolicyArn' --output text)
  for attached in $list; do
    keep=false
    for arn in "$@"; do
      if [ "$arn" = "$attached" ]; then keep=true; fi
    done
    if [ "$keep" = false ]; then remove_policy "$attached"; fi
  done
}

# remove_role NAME ARN: removes a role with its inline policies.
remove_role() {
  if exists aws iam get-role --role-name="$1"; then
    found=$(aws iam get-role --role-name="$1" --query Role.Arn --output text)
    [ "$found" = "$2" ] || fail "there is another role with this name, $found; it stays"
    list=$(aws iam list-attached-role-policies --role-name="$1" --query 'AttachedPolicies[].PolicyArn' --output text)
    for attached in $list; do
      aws iam detach-role-policy --role-name="$1" --policy-arn="$attached"
    done
    list=$(aws iam list-role-policies --role-name="$1" --query 'PolicyNames[]' --output text)
    for inline in $list; do
      aws iam delete-role-policy --role-name="$1" --policy-name="$inline"
    done
    aws iam delete-role --role-name="$1"
  fi
}
`
