#pragma once

namespace dstack::runner::repo {

// Has libgit2 trust what the image trusts, or what Mozilla does (a bundle in this program) where the image does not
// say. Problems are logged.
void trust_certificates();

}  // namespace dstack::runner::repo
