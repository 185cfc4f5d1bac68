"""What of a stack is there also while it is stopped: key, table, snapshots, secrets and logs."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from infra.components.aws.data.bucket import Bucket, BucketArgs
from infra.components.aws.data.key import Key, KeyArgs
from infra.components.aws.data.logs import Logs, LogsArgs
from infra.components.aws.data.secrets import Secrets, SecretsArgs
from infra.components.aws.data.table import Table, TableArgs
from infra.generated import ACCEPTED, VARIABLES, GeneratedSecrets
from infra.table import read_expiry, read_table
from infra.targets.cloud.place import Place
from infra.targets.common import own_secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What is there also while the stack is stopped. `table_name`, `table`: of the table that gateways use."""

    key: Key
    bucket: Bucket
    secrets: Secrets
    logs: Logs
    table_name: pulumi.Output[str]
    table: pulumi.Output[str]
    jwt_secret: pulumi.Output[str]
    sandbox_secret: pulumi.Output[str]
    credential_key: pulumi.Output[str]

    @property
    def components(self) -> list[pulumi.Resource]:
        return [self.key, self.bucket, self.secrets, self.logs]


def make_data(place: Place) -> Data:
    settings, stack_id, protect = place.settings, place.stack_id, place.protect
    # What users have encrypted is read with them, and what is drawn anew is another.
    made = GeneratedSecrets(f"{stack_id}-secrets", pulumi.ResourceOptions(protect=protect), settings.versions)
    key = Key(
        f"{stack_id}-key",
        KeyArgs(
            stack_id=stack_id,
            region=settings.region,
            account=place.account,
            partition=place.partition,
            protect=protect,
        ),
        place.options,
    )
    table = Table(
        f"{stack_id}-table",
        TableArgs(
            stack_id=stack_id,
            definition=read_table(place.root),
            expires=read_expiry(place.root),
            key=key.arn,
            protect=protect,
        ),
        place.options,
    )
    bucket = Bucket(
        f"{stack_id}-blobs", BucketArgs(stack_id=stack_id, key=key.arn, protect=protect), place.options
    )
    told = made.told(own_secrets(settings))
    names = [VARIABLES[name] for name in ("jwt", "sandbox", "credential")]
    values = {name: told[name] for name in (*names, *(name + ACCEPTED for name in names)) if name in told}
    if settings.model_api_key is not None:
        values["VF_MODEL_API_KEY"] = settings.model_api_key
    secrets = Secrets(
        f"{stack_id}-secrets",
        SecretsArgs(stack_id=stack_id, values=values, key=key.arn, protect=protect),
        place.options,
    )
    logs = Logs(
        f"{stack_id}-logs",
        LogsArgs(
            stack_id=stack_id, region=settings.region, days=settings.log_days, key=key.arn, protect=protect
        ),
        place.options,
    )
    table_name, table_arn = table.table_name, table.arn
    if settings.dynamodb == "aws":
        # Another one of the account, such as one that was restored from a backup.
        table_name = pulumi.Output.from_input(settings.dynamodb_table)
        table_arn = pulumi.Output.concat(
            "arn:", place.partition, f":dynamodb:{settings.region}:", place.account, ":table/", table_name
        )
    return Data(
        key=key,
        bucket=bucket,
        secrets=secrets,
        logs=logs,
        table_name=table_name,
        table=table_arn,
        jwt_secret=told[VARIABLES["jwt"]],
        sandbox_secret=told[VARIABLES["sandbox"]],
        credential_key=told[VARIABLES["credential"]],
    )
