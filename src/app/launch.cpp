#include "app/launch.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "app/clients.h"
#include "app/commands.h"
#include "app/server_client.h"

namespace pippin::app {
namespace {

// What is sent as the key to a server that asks for none: clients refuse an empty one.
constexpr const char* kNoKey = "pippin";

Result<ServerAddress> address_of(const Settings& settings) {
  ASSIGN_OR_RETURN(const ServerAccess access, server_access(settings));
  ASSIGN_OR_RETURN(const ServerStatus status, ask_server(access));
  if (!status.ready || status.models.empty()) {
    return fail(Code::kUnavailable,
                fmt::format("the server at {} has no model ready: {}", access.url, status.reason));
  }
  ServerAddress server;
  server.url = access.url;
  server.model = status.models.front().id;
  server.key = access.key.empty() ? kNoKey : access.key;
  server.cacert = access.cacert;
  server.context_tokens = static_cast<int>(status.models.front().context_tokens);
  return server;
}

/// Replaces this process. Returns: only where it cannot.
Error become(const ClientSetup& setup) {
  for (const auto& [name, value] : setup.variables) setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> words{const_cast<char*>(setup.program.c_str())};
  for (const std::string& argument : setup.arguments)
    words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  std::fflush(nullptr);
  execvp(setup.program.c_str(), words.data());
  if (errno == ENOENT) {
    return fail(Code::kNotFound, fmt::format("{} is not installed here: {}\n  --print shows "
                                             "what to set instead.",
                                             setup.program, setup.install));
  }
  return fail(Code::kUnavailable,
              fmt::format("cannot start {}: {}", setup.program, std::strerror(errno)));
}

}  // namespace

Result<int> launch(const Settings& settings, const std::string& client,
                   const std::vector<std::string>& arguments) {
  RETURN_IF_ERROR(setup_client(client, {}));  // a wrong name shows before a missing server
  ASSIGN_OR_RETURN(const ServerAddress server, address_of(settings));
  ASSIGN_OR_RETURN(ClientSetup setup, setup_client(client, server));
  setup.arguments.insert(setup.arguments.end(), arguments.begin(), arguments.end());
  if (settings.launch_print) {
    fmt::print("{}", setup.to_text());
    return kExitOk;
  }
  return become(setup);
}

}  // namespace pippin::app
