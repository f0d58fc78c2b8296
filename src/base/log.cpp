#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

namespace pippin::log {

void configure(const char* level) {
  auto logger = spdlog::stderr_color_mt("pippin");
  logger->set_pattern("%H:%M:%S.%e %^%l%$ %v");
  spdlog::set_default_logger(std::move(logger));
  spdlog::set_level(spdlog::level::from_str(level));
}

}  // namespace pippin::log
