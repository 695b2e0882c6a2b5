"""What a test does with moto's EC2, from inside a machine of the test's own.

    ec2.py prepare REGION...     a default VPC of AWS has a way to the internet; moto's gets it here
    ec2.py instances REGION...   the instances as JSON: id, type, spot, state, address, user data
"""

import base64
import json
import os
import sys

import boto3

command, *regions = sys.argv[1:]


def client(region: str):
    return boto3.client("ec2", region_name=region, endpoint_url=os.environ["AWS_ENDPOINT_URL"], aws_access_key_id="test", aws_secret_access_key="test")


def prepare(ec2) -> None:
    vpc = ec2.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    main_table = [{"Name": "association.main", "Values": ["true"]}, {"Name": "vpc-id", "Values": [vpc]}]
    table = ec2.describe_route_tables(Filters=main_table)["RouteTables"][0]["RouteTableId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)


def instances(ec2) -> list[dict]:
    found = [each for reservation in ec2.describe_instances()["Reservations"] for each in reservation["Instances"]]
    return [
        {
            "id": each["InstanceId"],
            "type": each["InstanceType"],
            "spot": each.get("InstanceLifecycle") == "spot",
            "state": each["State"]["Name"],
            "address": each.get("PublicIpAddress"),
            "launched": each["LaunchTime"].isoformat(),
            "user_data": user_data(ec2, each["InstanceId"]),
        }
        for each in found
    ]


def user_data(ec2, instance: str) -> str:
    value = ec2.describe_instance_attribute(InstanceId=instance, Attribute="userData")["UserData"].get("Value", "")
    return base64.b64decode(value).decode()


if command == "prepare":
    for region in regions:
        prepare(client(region))
else:
    print(json.dumps([each for region in regions for each in instances(client(region))]))
