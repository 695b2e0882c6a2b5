#pragma once

#include "shim/doctor/check.h"

namespace dstack::shim::doctor {

// Which GPUs there are, and whether their driver answers. Asks the tools of NVIDIA and Intel, and the kernel about the
// others: their tools come in containers, and this starts none.
Finding check_gpu(const Host& host);

// What Docker needs to hand GPUs of this vendor to a container.
Finding check_container_toolkit(const Host& host);

}  // namespace dstack::shim::doctor
