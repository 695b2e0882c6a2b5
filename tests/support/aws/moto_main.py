"""moto's server, with answers that a dstack server needs closer to AWS's own:

- public addresses lie in a network of the test's machines; moto's own are real ones of others;
- an instance of the spot market names its request, and that can be cancelled;
- an access key with WRONG in its ID is refused;
- EC2 has quotas: 0 for machines with GPUs of type G, 100 for all others.
"""

import itertools
import sys
import types

import moto.ec2.models.elastic_network_interfaces as network_interfaces
from moto.core.exceptions import ServiceException
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.models.spot_requests import SpotRequestBackend
from moto.server import main
from moto.servicequotas.models import ServiceQuotasBackend
from moto.sts.responses import TokenResponse

NETWORK = "10.77.0."
G_ON_DEMAND = "L-DB2E81BA"

numbers = itertools.count(10)
network_interfaces.random_public_ip = lambda: f"{NETWORK}{next(numbers)}"

run_instances_of_moto = InstanceBackend.run_instances
caller_identity_of_moto = TokenResponse.get_caller_identity


def run_instances(self, *arguments, **more):
    reservation = run_instances_of_moto(self, *arguments, **more)
    if more.get("instance_market_options"):
        for instance in reservation.instances:
            instance.spot_instance_request_id = "sir-" + instance.id[2:10]
    return reservation


def get_caller_identity(self):
    if "WRONG" in self.get_access_key():
        raise ServiceException("InvalidClientTokenId", "The security token included in the request is invalid.")
    return caller_identity_of_moto(self)


def get_service_quota(self, service_code, quota_code):
    return {"ServiceCode": service_code, "QuotaCode": quota_code, "Value": 0.0 if quota_code == G_ON_DEMAND else 100.0}


InstanceBackend.run_instances = run_instances
SpotRequestBackend.cancel_spot_instance_requests = lambda self, ids: [types.SimpleNamespace(id=each) for each in ids]
TokenResponse.get_caller_identity = get_caller_identity
ServiceQuotasBackend.get_service_quota = get_service_quota

sys.exit(main(sys.argv[1:]))
