#include "app/server_access.h"

#include <fmt/format.h>

#include <filesystem>

#include "app/connect_help.h"
#include "base/environment.h"

namespace pippin::app {

Result<hub::ServerAccess> server_access(const Settings& settings) {
  hub::ServerAccess server;
  server.url = settings.server;
  const bool tls = !settings.tls_cert_path.empty();
  if (server.url.empty()) {
    if (settings.port == 0)
      return fail(Code::kInvalidArgument,
                  "--port is 0, any free one: --server names the server that runs", "--server");
    server.url = url_of(settings.host, static_cast<uint16_t>(settings.port), tls);
  }
  while (server.url.ends_with('/')) server.url.pop_back();
  const char* key = environment_variable("PIPPIN_API_KEY");
  if (key != nullptr) server.key = key;
  server.cacert = settings.cacert_path.empty() ? settings.tls_cert_path : settings.cacert_path;
  std::error_code ignored;
  if (!server.cacert.empty() && !std::filesystem::is_regular_file(server.cacert, ignored))
    return fail(
        Code::kNotFound,
        fmt::format("{}: there is no file {}",
                    settings.cacert_path.empty() ? "--tls-cert" : "--cacert", server.cacert));
  return server;
}

}  // namespace pippin::app
