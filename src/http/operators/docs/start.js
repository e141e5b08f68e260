// Not inline, so that the page can forbid inline scripts.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const applyTheme = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", applyTheme);
applyTheme();

window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  tryItOutEnabled: true,
  docExpansion: "full",
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
  requestInterceptor: Signing.sign,
  responseInterceptor: Signing.answered,
});
