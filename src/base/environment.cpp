#include "base/environment.h"

#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

namespace pippin {

const char* environment_variable(const char* name) { return std::getenv(name); }

std::filesystem::path home_folder(const Environment& environment) {
  const char* home = environment("HOME");
  if (home != nullptr && *home != '\0') return home;
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> text{};
  if (getpwuid_r(getuid(), &entry, text.data(), text.size(), &found) == 0 && found != nullptr &&
      found->pw_dir != nullptr && *found->pw_dir == '/')
    return found->pw_dir;
  return "/";
}

std::filesystem::path folder_of_home(const Environment& environment, const char* variable,
                                     const char* below) {
  const char* named = environment(variable);
  if (named != nullptr && *named != '\0') return named;
  return home_folder(environment) / below;
}

}  // namespace pippin
