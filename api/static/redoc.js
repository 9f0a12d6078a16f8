Redoc.init("/openapi.json", { disableGoogleFont: true }, document.getElementById("docs"));
