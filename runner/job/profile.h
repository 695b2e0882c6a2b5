#pragma once

#include <filesystem>
#include <string>

#include "runner/job/environment.h"
#include "runner/job/job_user.h"

namespace dstack::runner::job {

// What a login over SSH reads so that it sees the job's variables.
struct ProfilePlaces {
  std::filesystem::path profile = "/dstack/profile";         // for login shells, by way of the hook
  std::filesystem::path hook = "/etc/profile";               // gets a line that reads the profile
  std::filesystem::path variables = "/dstack/environment";   // NAME=value\0…, for a command given to ssh
  std::filesystem::path user = "/dstack/ssh/conf/job_user";  // whose groups are not the image's
};

// The profile's text: an export for each variable that a shell can have, in quotes that any value survives, then a cd
// to the working folder. What a login sets for itself (HOME, USER, …) is left out.
std::string profile_text(const Environment& environment);

// The same variables, those with names no shell accepts too, each NAME=value with a NUL behind it.
std::string variables_text(const Environment& environment);

// Writes both and hooks the profile in, once. They are not written again later, since jobs append to the profile.
// Throws Error; where only the hook fails, the files are there.
void write_profile(const Environment& environment, const ProfilePlaces& places);

// Tells the SSH server which groups the job's user has, so that a login as that user has them too. Throws Error.
void write_login_groups(const JobUser& user, const ProfilePlaces& places);

}  // namespace dstack::runner::job
