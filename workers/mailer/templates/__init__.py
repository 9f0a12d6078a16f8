"""The words of every mail: `<template>.txt`, which begins with the subject, and `.html`."""
