#include "app/commands.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>

#include "app/bench.h"
#include "app/default_model.h"
#include "app/doctor.h"
#include "app/loading.h"
#include "base/log.h"
#include "base/profiles.h"

namespace pippin::app {
namespace {

constexpr const char* kOverview = R"(pippin: language models on your own machine.

  pippin serve [MODEL]            answer over HTTP, as OpenAI's API does
  pippin run MODEL [PROMPT]       answer here: one prompt, a pipe, or a chat
  pippin bench [MODEL]            measure how fast a model computes here
  pippin doctor [MODEL]           check that company does not change an answer
  pippin COMMAND --help           all flags of a command

MODEL is a GGUF file, or the name of one in ~/.local/share/pippin/models. Without one, `serve` takes
the default model, which scripts/serve fetches.

  pippin serve ~/models/Qwen2.5-Coder-1.5B-Instruct-Q4_K_M.gguf --port 8080
  pippin run SmolLM2-135M-Instruct.Q4_1 "Name three rivers of Europe."
  git diff | pippin run Qwen2.5-Coder-1.5B-Instruct-Q4_K_M --system "Write a commit message."

Each flag has a PIPPIN_* variable; a flag wins over it. docs/settings.md lists them.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 doctor has found something.
)";

constexpr const char* kServeHelp =
    R"(pippin serve [MODEL] [flags]: answers over HTTP, as OpenAI's API does, until SIGINT or SIGTERM.

  MODEL                     A GGUF file, or the name of one in the models folder [the default model]

)";

constexpr const char* kRunHelp =
    R"(pippin run [MODEL] [PROMPT] [flags]: answers in this terminal, without a server.

  MODEL                     A GGUF file, or the name of one in the models folder [the default model]
  PROMPT                    What to answer; without one, a pipe's text, else a chat

In a chat, Ctrl-C stops an answer, Ctrl-D ends the chat, and /help lists what else there is.

)";

constexpr const char* kBenchHelp =
    R"(pippin bench [MODEL] [flags]: measures prompts and generation, in tokens per second.

  MODEL                     A GGUF file, or the name of one in the models folder [the default model]

)";

constexpr const char* kDoctorHelp =
    R"(pippin doctor [MODEL] --divergence [flags]: checks what is promised, with a model of yours.

  MODEL                     A GGUF file, or the name of one in the models folder [the default model]

Exit codes: 0 all is well, 1 failed, 2 wrong usage, 3 answers depend on their company.

)";

/// A command, its flags as they were typed, and its positional arguments.
struct Parsed {
  Command command;
  CLI::App* app = nullptr;
  std::vector<std::pair<const Setting*, std::string>> flags;
  std::string model;
  std::optional<std::string> prompt;
};

void add_flags(Parsed& parsed) {
  for (const Setting& setting : settings_table()) {
    if (!setting.is_for(parsed.command) || setting.flag.empty()) continue;
    const std::string flag(setting.flag);
    if (setting.is_switch()) {
      parsed.app->add_flag_function(flag + ",!--no-" + flag.substr(2),
                                    [&parsed, &setting](int64_t count) {
                                      parsed.flags.emplace_back(&setting, count > 0 ? "on" : "off");
                                    });
    } else {
      parsed.app
          ->add_option_function<std::string>(flag,
                                             [&parsed, &setting](const std::string& text) {
                                               parsed.flags.emplace_back(&setting, text);
                                             })
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    }
  }
}

void add_command(CLI::App& root, Parsed& parsed, const char* name, const char* help) {
  parsed.app = root.add_subcommand(name);
  add_flags(parsed);
  const std::string text = std::string(help) + settings_help(parsed.command);
  struct Help final : CLI::FormatterBase {
    explicit Help(std::string what) : text(std::move(what)) {}
    std::string make_help(const CLI::App*, std::string, CLI::AppFormatMode) const override {
      return text;
    }
    std::string text;
  };
  parsed.app->formatter(std::make_shared<Help>(text));
}

Result<Settings> settings_of(const Parsed& parsed) {
  // A flag's profile wins over the variable's, and both are only defaults for all else.
  ASSIGN_OR_RETURN(Settings defaults,
                   settings_from_environment(parsed.command, environment_variable));
  std::string profile = defaults.profile;
  for (const auto& [setting, text] : parsed.flags)
    if (setting->flag == "--profile") profile = text;
  defaults = {};
  RETURN_IF_ERROR(apply_profile(defaults, profile));
  ASSIGN_OR_RETURN(Settings settings,
                   settings_from_environment(parsed.command, environment_variable, defaults));
  for (const auto& [setting, text] : parsed.flags)
    RETURN_IF_ERROR(set_setting(settings, *setting, text, setting->flag));
  return settings;
}

int report(const Error& error, int code) {
  std::fprintf(stderr, "pippin: %s\n", error.message.c_str());
  return code;
}

Result<int> dispatch(const Parsed& parsed, const Settings& settings) {
  switch (parsed.command) {
    case Command::kServe:
      return serve(settings, parsed.model);
    case Command::kRun:
      return run(settings, parsed.model, parsed.prompt);
    case Command::kBench:
      return bench(settings, parsed.model);
    case Command::kDoctor:
      return doctor(settings, parsed.model);
  }
  return fail(Code::kInternal, "no such command");
}

int run_parsed(const Parsed& parsed) {
  const Result<Settings> settings = settings_of(parsed);
  if (!settings.ok()) return report(settings.error(), kExitUsage);
  log::configure(settings->log_level.c_str());
  const Result<int> code = dispatch(parsed, *settings);
  if (code.ok()) return *code;
  const bool usage =
      code.error().code == Code::kInvalidArgument && code.error().param.starts_with("--");
  return report(code.error(), usage ? kExitUsage : kExitFailed);
}

}  // namespace

Result<int> bench(const Settings& settings, const std::string& named) {
  BenchOptions options;
  ASSIGN_OR_RETURN(options.model, find_model(named, settings, environment_variable));
  ASSIGN_OR_RETURN(options.runner, runner_options(settings));
  options.prompts = settings.bench_prompts;
  options.generate = settings.bench_generate;
  options.depth = settings.bench_depth;
  options.rows = settings.bench_rows;
  options.repeats = settings.bench_repeats;
  options.json = settings.bench_json;
  RETURN_IF_ERROR(run_bench(options));
  return kExitOk;
}

Result<int> doctor(const Settings& settings, const std::string& named) {
  if (!settings.doctor_divergence) {
    return fail(Code::kInvalidArgument, "doctor has nothing to check: expected --divergence",
                "--divergence");
  }
  DivergenceRequest request;
  ASSIGN_OR_RETURN(request.model, find_model(named, settings, environment_variable));
  ASSIGN_OR_RETURN(request.runner, runner_options(settings));
  request.tokens = settings.doctor_tokens;
  request.deterministic = settings.deterministic;
  const auto progress = [](const std::string& way) {
    std::fprintf(stderr, "running: %s\n", way.c_str());
  };
  ASSIGN_OR_RETURN(const DivergenceReport report, check_divergence(request, progress));
  const std::string text = settings.doctor_json ? report.to_json() + "\n" : report.to_text();
  std::fputs(text.c_str(), stdout);
  return report.same() ? kExitOk : kExitFound;
}

int run_command_line(int argc, char** argv) {
  CLI::App root("", "pippin");
  Parsed serve_command{Command::kServe}, run_command{Command::kRun}, bench_command{Command::kBench},
      doctor_command{Command::kDoctor};
  root.set_version_flag("--version", "pippin " PIPPIN_VERSION);
  root.require_subcommand(0, 1);
  add_command(root, serve_command, "serve", kServeHelp);
  add_command(root, run_command, "run", kRunHelp);
  add_command(root, bench_command, "bench", kBenchHelp);
  add_command(root, doctor_command, "doctor", kDoctorHelp);
  for (Parsed* parsed : {&serve_command, &run_command, &bench_command, &doctor_command})
    parsed->app->add_option("MODEL", parsed->model);
  run_command.app->add_option("PROMPT", run_command.prompt);
  struct Overview final : CLI::Formatter {
    std::string make_help(const CLI::App*, std::string, CLI::AppFormatMode) const override {
      return kOverview;
    }
  };
  root.formatter(std::make_shared<Overview>());
  try {
    root.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return root.exit(success);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "pippin: %s\nTry `pippin --help`.\n", error.what());
    return kExitUsage;
  }
  for (const Parsed* parsed : {&serve_command, &run_command, &bench_command, &doctor_command})
    if (parsed->app->parsed()) return run_parsed(*parsed);
  std::fputs(kOverview, argc > 1 ? stderr : stdout);
  return argc > 1 ? kExitUsage : kExitOk;
}

}  // namespace pippin::app
